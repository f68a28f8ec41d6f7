"""Operations lowered well on every platform."""
